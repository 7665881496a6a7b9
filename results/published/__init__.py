"""Published numbers as facts, one per row, and the layouts of the tables that print them.

``published.csv`` holds every number of the ten tables that ``bench list tables`` names;
``third_party.csv`` has the same columns, with the source in the place of the paper:

- paper, table, method, setting: where it stands, as printed there;
- method_key: the method's name on the command line, where there is one;
- dataset, category: ``mean``, ``mean_textures`` and ``mean_objects`` are printed averages;
- metric: as the paper calls it; metric_variant: what its code or text really computes, in the names
  of ``bench list metrics``, or ``unknown``;
- value: the digits as printed, in ``unit``;
- origin: ``own`` (the paper's own method), ``copied`` (a competitor's number), ``third_party`` (a
  reimplementation's number); selection: ``best_on_test…`` where the epoch was chosen on the test set;
- note.

Read them with :func:`benchmark.tables.published.load`. Every other file here holds layouts: those of one
paper, or of the third parties. ``bench list tables`` finds them by listing this folder.
"""
