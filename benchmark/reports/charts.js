// ---------------------------------------------------------------- charts

const charts = new Map();  // element -> the function that gives its options
function palette() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ink", "dim", "line", "link", "other", "grey", "paper"].map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
}
function draw(element) {
  if (!element.clientWidth) return;
  echarts.getInstanceByDom(element)?.dispose();
  const colours = palette();
  const chart = echarts.init(element, null, {renderer: "svg"});
  chart.setOption({
    animation: false, textStyle: {color: colours.ink, fontFamily: "system-ui, sans-serif"},
    ...charts.get(element)(colours, element.clientWidth),
  });
}
function chart(element, options) {
  charts.set(element, options);
  draw(element);
}
const drawAll = () => charts.forEach((_, element) => draw(element));
function axis(colours, name, given = {}) {
  return {
    name, nameLocation: "middle", nameGap: 28, nameTextStyle: {color: colours.dim}, axisLabel: {color: colours.dim, hideOverlap: true},
    axisLine: {lineStyle: {color: colours.line}}, splitLine: {lineStyle: {color: colours.line, opacity: 0.5}}, ...given,
  };
}
const tip = (colours) => ({backgroundColor: colours.paper, borderColor: colours.line, textStyle: {color: colours.ink}, confine: true});
const plain = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);  // tooltips are HTML
const signed = (x) => (x > 0 ? "+" : "") + x.toFixed(3).replace("-", "−");
const short = (x) => (x === null ? "–" : x.toFixed(3));

/** Quality against latency: the frontier, and grey what is dominated. */
function speed(block, device, metric) {
  return (colours, width) => {
    const m = block.metrics.indexOf(metric), here = block.devices[device];
    const front = here.frontiers[m].filter((i) => !off(block.methods[i]));
    const point = (i) => ({name: block.methods[i].label, value: [here.ms[i], block.means[m][i]], n: i});
    const there = block.methods.map((_, i) => i).filter((i) => here.ms[i] !== null && block.means[m][i] !== null && !off(block.methods[i]));
    const times = there.map((i) => here.ms[i]);
    const [first, last] = [Math.min(...times), Math.max(...times)], log = last > 10 * first;
    const pad = 0.15 * (last - first) || 0.5 * first;
    const scaled = log ? Math.log : (x) => x;
    const label = (i, position) => {  // the frontier rises to the right: above it its names are free
      const along = (scaled(here.ms[i]) - scaled(first)) / (scaled(last) - scaled(first) || 1);
      const align = along < 0.3 ? "left" : along > 0.7 ? "right" : "center";
      return {show: true, formatter: "{b}", color: colours.ink, position, align, distance: 6};
    };
    const best = front.map((i) => ({...point(i), label: label(i, "top")}));
    const dominated = there.filter((i) => !front.includes(i));
    const room = log ? [first / 1.4, last * 1.4] : [first - pad, last + pad];
    return {
      grid: {left: 48, right: 22, top: 12, bottom: 44},
      tooltip: {...tip(colours), formatter: (p) => `${plain(p.name)}<br>${metric} ${short(p.value[1])}<br>${p.value[0].toPrecision(3)} ms per image${here.stored[p.data.n] === null ? "" : `<br>${here.stored[p.data.n]} MB stored`}`},
      xAxis: axis(colours, "ms per image, one at a time", {
        type: log ? "log" : "value", min: room[0], max: room[1],
        axisLabel: {color: colours.dim, hideOverlap: true, showMinLabel: false, showMaxLabel: false, formatter: (x) => String(Number(x.toPrecision(6)))}}),
      yAxis: axis(colours, "", {type: "value", scale: true, boundaryGap: ["8%", "14%"], axisLabel: {color: colours.dim, formatter: (x) => String(Number(x.toFixed(3)))}}),
      series: [
        {type: "line", name: "frontier", step: "end", symbol: "none", data: best.map((p) => p.value), lineStyle: {color: colours.link, width: 1.5}, silent: true},
        {type: "scatter", name: "dominated", symbolSize: 9, itemStyle: {color: colours.grey}, 
          data: dominated.map((i) => ({...point(i), label: {...label(i, "bottom"), show: there.length < 8, color: colours.dim}}))},
        {type: "scatter", name: "on the frontier", symbolSize: 12, itemStyle: {color: colours.link}, data: best},
      ],
    };
  };
}
