"""Names of the metrics in records, tables and results, with a word on each."""

from __future__ import annotations

IMAGE_METRICS = (
    "image_auroc",
    "image_ap",
    "image_f1_max",
    "image_accuracy",
    "image_balanced_accuracy",
    "image_balanced_accuracy_oracle",
    "image_recall_at_0_fpr",
    "image_recall_at_1_fpr",
)
GROUP_METRICS = {
    "image_auroc_per_group": "no group has both good and defective images",
    "group_auroc": "every group has a defective image",
}
"""Only where the data set's images come in groups; with the reason why one is undefined."""
PART = "image_auroc["
"""Before the name of a part of the scores, with ``]`` behind it: the image AUROC of that part."""
PIXEL_METRICS = (
    "pixel_auroc",
    "pixel_ap",
    "pro",
    "pixel_f1_max",
    "pixel_iou_max",
    "pixel_auroc_per_image",
    "pixel_auroc_anomalous",
    "pro_per_image",
)
SHOWN = ("image_auroc", "image_accuracy", "pixel_auroc", "pro", "pixel_ap")
"""What tables show unasked, and first."""
METRICS = {
    "image_auroc": "area under the ROC curve of the image scores",
    "image_accuracy": "fraction right at the threshold set on held-out normal images",
    "pixel_auroc": "area under the ROC curve over all test pixels",
    "pro": "per-region overlap, area up to 30 % false positives (AUPRO)",
    "pixel_ap": "average precision over all test pixels",
    "image_ap": "average precision of the image scores",
    "image_f1_max": "best F1 over all thresholds",
    "image_balanced_accuracy": "mean of the good and the defective fraction right, same threshold",
    "image_balanced_accuracy_oracle": "the same at the best test threshold: an upper bound",
    "image_recall_at_0_fpr": "defects found without any false alarm",
    "image_recall_at_1_fpr": "defects found at 1 % false alarms",
    "image_auroc_per_group": "mean over clips or parts of each one's own image AUROC (macro)",
    "group_auroc": "AUROC of clips or parts, each as its highest image (Real-IAD's sample level)",
    "pixel_f1_max": "best pixel F1 over all thresholds",
    "pixel_iou_max": "best pixel intersection over union over all thresholds",
    "pixel_auroc_per_image": "mean over defective images of each one's own pixel AUROC (IGD)",
    "pixel_auroc_anomalous": "pixel AUROC over defective images only (PatchCore, MKD)",
    "pro_per_image": "mean over defective images of each one's own PRO (RD4AD's code)",
}
