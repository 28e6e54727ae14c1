"""Exports for object detection are not read as photos of the classes `images` and `labels`."""

import json

import pytest
from pictures import picture

from fmkit.config.schema.data import ImageFolderData, PhotosData
from fmkit.core.errors import DataError
from fmkit.data.recognition.recognise import Request, recognise
from fmkit.data.sources.registry import list_examples

BOX = "0 0.51 0.42 0.1 0.2\n3 0.5 0.5 1 1\n"
POLYGON = "2 0.1 0.1 0.9 0.1 0.9 0.9\n"
XML = "<annotation><object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
COCO = {"images": [{"id": 1}], "annotations": [{"bbox": [1.5, 2, 30, 40], "category_id": 1}]}


def write(root, **texts):
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".jpg", ".png")):
            picture(len(name)).save(root / name)
        else:
            (root / name).write_text(text if isinstance(text, str) else json.dumps(text))
    return root


PHOTO = dict.fromkeys(["images/1.jpg", "images/2.jpg"])
LAYOUTS = {
    "YOLO: boxes in labels/": {**PHOTO, "labels/1.txt": BOX, "data.yaml": "names: [a]"},
    "YOLO: boxes in labels/train/": {"images/train/1.jpg": None, "labels/train/1.txt": POLYGON},
    "YOLO: boxes in train/labels/": {"train/images/1.jpg": None, "train/labels/1.txt": BOX,
                                     "valid/images/2.jpg": None, "valid/labels/2.txt": BOX},
    "YOLO: boxes in train/*": {"train/1.jpg": None, "train/1.txt": BOX, "test/2.jpg": None},
    "Pascal VOC: boxes in Annotations/": {"JPEGImages/1.jpg": None, "Annotations/1.xml": XML,
                                          "ImageSets/Main/train.txt": "1"},
    "Pascal VOC: boxes in train/": {"train/1.jpg": None, "train/1.xml": XML, "test/2.jpg": None},
    "COCO: boxes in annotations/": {"train2017/1.jpg": None, "val2017/2.jpg": None,
                                    "annotations/instances_train2017.json": COCO},
    "COCO: boxes in train/": {"train/1.jpg": None, "train/_annotations.coco.json": COCO,
                              "valid/2.jpg": None, "valid/_annotations.coco.json": COCO},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_export_is_refused_by_its_name(layout, tmp_path):
    root = write(tmp_path / "set", **LAYOUTS[layout])
    with pytest.raises(DataError) as caught:
        list_examples(ImageFolderData(root=str(root)))
    assert f"is a data set for object detection ({layout}" in caught.value.message
    assert "a folder for each class" in caught.value.hint
    with pytest.raises(DataError, match="object detection"):
        recognise(Request("set"), root)
    assert len(list_examples(PhotosData(root=str(root)))) > 0  # without labels they are photos


def test_what_only_looks_alike_is_read(tmp_path):
    names = {f"{name}/{k}.png": None for name in ("labels", "images") for k in range(8)}
    others = {"labels/0.txt": "a caption", "images/0.json": {"bbox": []}, "labels/1.xml": "<x/>"}
    root = write(tmp_path / "set", **names, **others)
    assert list_examples(ImageFolderData(root=str(root))).classes == ("images", "labels")
    assert recognise(Request("set"), root).settings["data"] == "image_folder"
