"""How a command starts, before anything is read: what a line inherits, and what it is taken for."""

import json
import shlex
from pathlib import Path

import pytest
import yaml
from kept_runs import kept_run
from PIL import Image
from whole_runs import make_examples

from fmkit.cli import main
from fmkit.commands import launch
from fmkit.store.run_reader import RunReader

OLD_RUN = Path(__file__).parents[1] / "data_files" / "runs_0_1" / "images"


def test_a_run_without_adapters_leaves_the_rank_to_the_new_stage(capsys):
    folder = next(path.parent for path in OLD_RUN.rglob("status.json"))
    assert main(["finetune", f"init={folder}", "stage=lora", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["lora_rank"] is None


def test_a_tokenizer_is_trained_on_a_path(typed):
    code, config, _ = typed("tokenizer train reviews.csv output=words")
    assert code == 0
    assert config["data"]["name"] == "text_table"
    assert config["data"]["root"] == "reviews.csv"


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Type a command in a folder with photos and reviews; exit status, the config, stderr."""
    monkeypatch.chdir(tmp_path)
    make_examples(tmp_path)

    def typed(line):
        code = main([*line.split(), "--cfg", "job"])
        shown = capsys.readouterr()
        return code, yaml.safe_load(shown.out), shown.err

    return typed


@pytest.mark.parametrize("command", ["finetune", "train", "pretrain", "check"])
@pytest.mark.parametrize("path", ["photos", "./photos", "data.root=photos"])
def test_a_path_is_enough(command, path, typed, tmp_path):
    code, config, _ = typed(f"{command} {path}")
    assert code == 0
    assert config["data"]["name"] == "image_folder"
    assert (tmp_path / config["data"]["root"]).resolve() == tmp_path / "photos"


def test_what_a_path_was_taken_for_is_printed_as_one_would_type_it(typed, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert main(["check", "reviews.csv", "output=out"]) == 0
    assert "as with: data=text_table data.root=reviews.csv\n" in capsys.readouterr().err


def test_what_is_typed_beside_a_path_counts(typed):
    _, config, _ = typed("finetune reviews.csv model=small_bert data.batch_size=4 task=multi_label")
    assert config["model"]["name"] == "small_bert"
    assert (config["data"]["name"], config["data"]["batch_size"]) == ("text_table", 4)
    assert config["task"]["name"] == "multi_label"
    _, config, _ = typed("finetune photos data=photos task=simclr")
    assert (config["data"]["name"], config["data"]["root"]) == ("photos", "photos")


def test_a_path_replaces_the_data_of_the_run_in_init(typed):
    folder = next(path.parent for path in OLD_RUN.rglob("status.json"))
    _, config, _ = typed(f"finetune photos init={folder} data.root=photos")
    assert config["data"]["root"] == "photos"
    assert config["model"]["name"] == RunReader(folder).config()["model"]["name"]


@pytest.mark.parametrize("command", ["finetune init=", "eval run="])
def test_a_new_table_has_its_own_photos_whatever_the_run_learned_from(command, typed, tmp_path):
    run = kept_run("images", tmp_path)
    config = (run / "config.yaml").read_text().replace("name: image_folder", "name: image_table")
    config = config.replace("outside_links: false", f"image_root: {tmp_path}/cars/img")
    config = config.replace(f"{tmp_path}/photos", f"{tmp_path}/cars/cars.csv")
    (run / "config.yaml").write_text(config)
    for folder in ("cars/img", "april/img", "may", "june"):
        (tmp_path / folder).mkdir(parents=True)
    for photo in ("cars/img/0.png", "april/img/0.png", "may/0.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / photo)
    expected = {"april": f"{tmp_path}/april/img", "may": None, "june": f"{tmp_path}/cars/img"}
    for month, folder in expected.items():
        (tmp_path / month / "new.csv").write_text("path,label\n0.png,a\n")
        code, config, _ = typed(f"{command}{run} data.root={month}/new.csv")
        assert code == 0
        assert config["data"]["image_root"] == folder
    _, config, _ = typed(f"{command}{run} data.root=april/new.csv data.image_root=cars/img")
    assert config["data"]["image_root"] == "cars/img"


def test_a_path_for_eval_is_data_that_is_read_as_the_runs(typed):
    folder = next(path.parent for path in OLD_RUN.rglob("status.json"))
    code, config, _ = typed(f"eval run={folder} elsewhere data.batch_size=4")
    assert code == 0
    recorded = RunReader(folder).config()["data"]
    assert config["data"] == {**config["data"], "root": "elsewhere", "batch_size": 4}
    assert config["data"]["name"] == recorded["name"]
    assert config["data"]["val_fraction"] == recorded["val_fraction"]


def test_eval_without_its_run_names_it(typed):
    code, _, err = typed("eval photos")
    assert code == 2
    assert "run is missing" in err
    assert "fmkit eval run=last photos" in err


def test_input_of_eval_is_its_data(typed):
    folder = next(path.parent for path in OLD_RUN.rglob("status.json"))
    code, _, err = typed(f"eval run={folder} input=photos")
    assert code == 2
    assert "Did you mean data.root?" in err
    assert f"Type: fmkit eval --cfg job run={folder} data.root=photos" in " ".join(err.split())


FLAGS = {
    "finetune photos --epochs 3": ["stage.head.epochs=3", "stage.full.epochs=3"],
    "finetune photos stage=scratch --num-epochs=3": ["stage.full.epochs=3"],
    "finetune photos --lr=1e-3 stage=scratch": [
        "optimizer.learning_rate=1e-3", "stage.full.learning_rate=1e-3",
    ],
    "finetune photos --batch-size 8": ["data.batch_size=8"],
    "check photos --data.batch_size 8": ["data.batch_size=8"],
    "finetune photos --fp16": ["runtime.precision=mixed_float16"],
    "finetune photos --output_dir=out": ["runs_dir=out"],
    "predict run=last photo.jpg --bs 8": ["batch_size=8"],
    "finetune photos --model resnet50": ["model=resnet50"],
    "finetune photos --nothing-like-it 7": ["data.batch_size=64"],
}  # fmt: skip


@pytest.mark.parametrize("line", FLAGS)
def test_another_tools_flag_is_refused_with_settings_that_exist(line, typed):
    code, _, err = typed(line)
    assert code == 2
    _, _, said = " ".join(err.split()).partition("without dashes, such as ")
    meant, _, corrected = said.partition(" Type: fmkit ")
    assert meant.rstrip(".").split(" or ") == FLAGS[line]
    if "photos" in line:
        assert typed(f"{line.partition(' --')[0]} {' '.join(FLAGS[line])}")[0] == 0
        assert not corrected or typed(corrected)[0] == 0
    assert bool(corrected) == ("nothing" not in line)


FLAGS_OF_WORDS = {
    "finetune --data reviews.csv --label label --epochs 5":
        "finetune reviews.csv data.label_column=label stage.full.epochs=5",
    "train --data-dir photos -b 8": "finetune photos data.batch_size=8",
    "check --data photos": "check photos",
    "predict --model last --image a.jpg -o out.csv": "predict run=last a.jpg output=out.csv",
    "eval --ckpt last --data=reviews.csv": "eval run=last reviews.csv",
    "finetune --data digits": "finetune data=digits",
}  # fmt: skip


@pytest.mark.parametrize("line", FLAGS_OF_WORDS)
def test_flags_for_the_data_the_labels_and_the_model_get_the_whole_line(line, typed, capsys):
    assert main(line.split()) == 2
    _, _, corrected = " ".join(capsys.readouterr().err.split()).partition("Type: fmkit ")
    assert corrected == FLAGS_OF_WORDS[line]


ODD_NAMES = (
    "my photos", "Bob's", 'say "hi"', "Größe", "📷 pics", "a=b", "lr=1 x", "a,b", "c$d", "[x]",
    "~x", "back\\slash", "100%", "#h", "a'b\"c",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_what_is_proposed_for_an_odd_path_can_be_pasted(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"a text of {n} words,{'ab'[n % 2]}\n" for n in range(30))
    (tmp_path / name).mkdir()
    (tmp_path / name / "data.csv").write_text(f"text,label\n{rows}")
    launch.read_line("check", [name])
    _, _, taken = capsys.readouterr().err.partition("as with: ")
    line, _ = launch.read_line("check", shlex.split(taken.splitlines()[0]))
    assert line.value("data.root") == f"{name}/data.csv"
    for line in (["check", name, "ouput=out"], ["check", "--data", name], ["predict", name]):
        assert main(line) == 2
        _, _, proposed = capsys.readouterr().err.rpartition("fmkit ")
        command, *words = shlex.split(proposed)
        read = launch.parse_line(command, words)
        assert read.paths == [name]
        capsys.readouterr()


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("predict last photos text_colum=a", "predict run=last text_column=a photos"),
        ("explain last photos metod=occlusion", "explain run=last method=occlusion photos"),
        ("generate last Once tempertature=0", "generate run=last temperature=0 Once"),
    ],
)
def test_a_corrected_line_has_the_inputs(line, corrected, typed, capsys):
    assert main(line.split()) == 2
    assert capsys.readouterr().err.rstrip().endswith(f"Type: fmkit {corrected}")


COMMANDS_OF_OTHERS = {
    "evaluate last": "Type: fmkit eval last",
    "fit photos lr=1": "Type: fmkit finetune photos lr=1",
    "inference last a.jpg": "Type: fmkit predict last a.jpg",
    "ls": "Type: fmkit runs",
    "finetun photos": "Type: fmkit finetune photos",
    "photos stage=lora": "To train on it: fmkit finetune photos stage=lora",
    "tokenizer reviews.csv output=out": "fmkit tokenizer train reviews.csv output=out",
    "runs delete last": "Did you mean rm?",
    "resume": "Such as: fmkit resume last",
    "finetune photos data.val_split=0.2": "Type: fmkit finetune photos data.val_fraction=0.2",
}


@pytest.mark.parametrize("line", COMMANDS_OF_OTHERS)
def test_a_command_as_other_tools_call_it_gets_the_line(line, typed, capsys):
    assert main(line.split()) == 2
    assert capsys.readouterr().err.rstrip().endswith(COMMANDS_OF_OTHERS[line])


MISSPELT = {
    "reviews.csv data.label_colum=label modle=small_bert":
        "reviews.csv data.label_column=label model=small_bert",
    "moods.csv label=team epochs=3": "moods.csv data.label_column=team stage.full.epochs=3",
    "moods.csv data.label_colum=team": "moods.csv data.label_column=team",
    "photos batchsize=16 learning_rat=1e-4":
        "photos data.batch_size=16 optimizer.learning_rate=1e-4",
}  # fmt: skip


@pytest.mark.parametrize("line", MISSPELT)
def test_a_line_with_typing_errors_is_corrected_as_it_was_typed(line, typed, tmp_path, capsys):
    rows = "".join(f"a text of {n} words,{'ab'[n % 2]},{'xyz'[n % 3]}\n" for n in range(30))
    (tmp_path / "moods.csv").write_text(f"words,team,priority\n{rows}")
    assert main(["finetune", *line.split()]) == 2
    _, _, corrected = " ".join(capsys.readouterr().err.split()).partition("Type: fmkit ")
    assert corrected == f"finetune {MISSPELT[line]}"
    assert typed(corrected)[0] == 0


def test_what_is_asked_of_the_data_is_asked_with_the_corrected_line(typed, tmp_path, capsys):
    rows = "".join(f"a text of {n} words,{'ab'[n % 2]},{'xyz'[n % 3]}\n" for n in range(30))
    (tmp_path / "moods.csv").write_text(f"words,team,priority\n{rows}")
    assert main(["check", "moods.csv", "ouput=out"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Did you mean output?" in said
    assert "which column has the labels?" in said
    assert "fmkit check moods.csv output=out data.label_column=team" in said


RUN_WORDS = {
    "predict last photo.jpg": ("last", ["photo.jpg"]),
    "predict mine photo.jpg": ("mine", ["photo.jpg"]),
    "explain last -": ("last", ["-"]),
    "eval photos last": ("last", ["photos"]),
    "eval 0101-abcdef": ("0101-abcdef", []),
    "generate last Once": ("last", ["Once"]),
    "predict runs/finetune/2026-01-01_000101-abcdef photo.jpg":
        ("runs/finetune/2026-01-01_000101-abcdef", ["photo.jpg"]),
    "eval ab": (None, ["ab"]),
    "eval ef": (None, ["ef"]),  # the end of an id, and too short for one
    "predict me photo.jpg": ("me", ["photo.jpg"]),
    "predict photos": (None, ["photos"]),  # also the end of a run's id, but a folder first
    "generate model=smollm2 last": (None, ["last"]),
    "predict run=mine last": ("mine", ["last"]),
}  # fmt: skip


@pytest.mark.parametrize("line", RUN_WORDS)
def test_a_word_that_names_a_run_is_the_run(line, typed, tmp_path):
    names = {"ef": "mine", "me": "me"}
    for name in ("2026-01-01_000101-abcdef", "2026-01-01_000102-photos", "2026-01-01_000103-me"):
        folder = tmp_path / "runs" / "finetune" / name
        folder.mkdir(parents=True)
        (folder / "status.json").write_text(
            json.dumps({"state": "done", "name": names.get(name[-2:], "photos")})
        )
    read = launch.parse_line(*line.split()[:1], line.split()[1:])
    assert (read.value("run"), read.paths) == RUN_WORDS[line]


@pytest.mark.parametrize("command", ["predict", "explain", "eval"])
def test_a_word_that_is_neither_run_nor_file_is_left_out_of_the_proposal(command, typed, capsys):
    assert main([command, "lsat", "photos"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "neither a run nor a file called 'lsat'" in said
    assert said.endswith(f"fmkit {command} run=last photos")


def test_a_model_named_by_its_key_alone_is_the_option_of_that_name(typed):
    _, config, _ = typed("finetune reviews.csv model.name=small_bert data.batch_size=4")
    _, by_option, _ = typed("finetune reviews.csv model=small_bert data.batch_size=4")
    assert config == by_option
    _, both, _ = typed("finetune reviews.csv model=small_cnn model.name=small_bert")
    assert both["model"]["name"] == "small_bert"


def test_another_tools_name_of_a_model_is_its_settings(typed, capsys):
    code, config, _ = typed("finetune photos model=google/vit-base-patch16-224")
    assert code == 0
    assert config["model"]["preset"] == "vit_base_patch16_224_imagenet"
    assert main(["finetune", "photos", "model=bert-base-uncased"]) == 2
    said = "model=bert-base-uncased: taken as model=hub model.preset=bert_base_en_uncased"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("finetune photo", "Did you mean photos? fmkit finetune photos"),
        ("finetune digits data.batch_size=4", "fmkit finetune data=digits data.batch_size=4"),
        ("finetune photos reviews.csv", "2 paths"),
        ("check nothing", "no such file or folder"),
        ("check data.root=photo", "data.root: 'photo': no such file or folder."),
        ("check data.root=photo", "Did you mean photos? fmkit check data.root=photos"),
        ("finetune photos/*", "fits 2 paths: photos/"),
    ],
)
def test_a_path_that_is_not_there_is_refused(line, said, typed):
    code, _, err = typed(line)
    assert code == 2
    assert said in err


def test_wrong_keys_are_named_together_with_data_that_is_not_recognised(typed):
    code, _, err = typed("finetune nowhere data.page=1 data.batch_size=x data.text_column=t")
    assert code == 2
    assert "3 problems" in err
    for said in ("unknown key 'data.page'", "data.batch_size: received 'x'", "no such file"):
        assert said in err
    code, _, err = typed("finetune nowhere data.text_column=t stage.adapters.epochs=3")
    assert (code, "problems" in err) == (2, False)  # keys of other sources may be right
