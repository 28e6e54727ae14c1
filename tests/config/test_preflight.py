"""What a wrong command line or YAML file is told, and that it is told before anything heavy."""

import subprocess
import sys

import pytest
import yaml

from fmkit.cli import main
from fmkit.config import command_line
from fmkit.config.saved_config import quote

JOINT = "finetune task=joint task.objectives.a={} task.objectives.b={}"
MISTAKES = [
    ("finetune optimizer.leraning_rate=1", "optimizer.leraning_rate", "optimizer.learning_rate"),
    ("finetune --epochs 3", "'--epochs'", "such as stage.head.epochs=3 or stage.full.epochs=3"),
    ("finetune --batch-size=16", "'--batch-size=16'", "such as data.batch_size=16"),
    ("finetune --fast", "'--fast'", "such as data.batch_size=64"),
    ("finetune stage.epochs=3", "stage.epochs", "stage.head.epochs or stage.full.epochs"),
    ("finetune optimizer.learning_rate=abc", "'abc'", "a number"),
    ("finetune optimizer.learning_rate=-1", "-1", "above 0"),
    ("finetune optimizer.learning_rate=nan", "nan", "finite"),
    ("finetune model=resnet5", "'resnet5'", "resnet50"),
    ("finetune data.grey_range=[a,b]", "['a', 'b']", "a list of numbers"),
    ("finetune data.grey_range=[4095,0]", "[4095, 0]", "the lower one first"),
    ("finetune data.grey_range=[1]", "[1]", "two numbers"),
    ("finetune data.grey_range=7", "7", "a list of numbers"),
    ("finetune model.name=resnet51", "'resnet51'", "resnet50"),
    ("finetune task=joint", "task.objectives has none", "task.objectives.pretrain.task="),
    ("finetune task=joint task.objectives.a={}", "task.objectives has a", "two objectives"),
    ("finetune task.objectives.a={}", "task.objectives.a", "task=joint"),
    (f"{JOINT} task.alpha=1.5", "1.5", "from 0 to 1"),
    (f"{JOINT} task.alpha=half", "'half'", "a number"),
    (f"{JOINT} task.alhpa=0.5", "task.alhpa", "task.alpha"),
    (f"{JOINT} task.alpha=0.5 task.objectives.a.weight=1", "task.objectives.a.weight", "one"),
    (f"{JOINT} task.alpha=0.5 task.objectives.c={{}}", "there are 3", "weight=1"),
    (f"{JOINT} task.weighting=learned", "'learned'", "uncertainty"),
    (f"{JOINT} task.weighting=uncertainty task.alpha=0.5", "task.alpha", "learns the weights"),
    (f"{JOINT} task.objectives.a.weight=-1", "-1", "at least 0"),
    (f"{JOINT} task.objectives.a.weight=0 task.objectives.b.weight=0", "weight 0", "a, b"),
    (f"{JOINT} task.objectives.a.wieght=1", "task.objectives.a.wieght", "task.objectives.a.weight"),
    (f"{JOINT} task.objectives.a.batch_size=many", "'many'", "a whole number"),
    (f"{JOINT} task.objectives.a.batch_size=0", "task.objectives.a.batch_size", "at least 1"),
    (f"{JOINT} task.objectives.a.task=clasification", "'clasification'", "classification"),
    (
        f"{JOINT} task.objectives.a.task=joint",
        "task.name=joint",
        "cannot be an objective of a joint run",
    ),
    (
        f"{JOINT} task.objectives.a.task.class_weigths=balanced",
        "objectives.a.task.class_weigths",
        "task.objectives.a.task.class_weights",
    ),
    (
        f"{JOINT} task.objectives.a.task.label_smoothing=2",
        "objectives.a.task.label_smoothing: rec",
        "from 0 to below 1",
    ),
    (f"{JOINT} task.objectives.a.data=mnist5", "'mnist5'", "mnist5k"),
    (f"{JOINT} task.objectives.a.data=image_folder", "objectives.a.data.root is missing", "folder"),
    (
        f"{JOINT} task.objectives.a.data.val_fraction=.9",
        "objectives.a.data.val_fraction=0.9",
        "below 1",
    ),
    (
        f"{JOINT} task.objectives.a.data={{name:digits,root:x}}",
        "objectives.a.data.root",
        "It belongs to",
    ),
    (f"{JOINT} task.objectives.A={{}}", "'A'", "small letters"),
    (f"{JOINT} task.primary=c", "'c'", "a, b"),
    (f"{JOINT} task.monitor=val_c_loss", "'val_c_loss'", "val_a_loss"),
    (f"{JOINT} recipe=auto", "recipe=auto", "one objective"),
    (f"{JOINT} stage.head.solver=lbfgs", "stage.head.solver=lbfgs", "one head"),
    ("finetune dta=mnist5k", "'dta'", "Did you mean data"),
    ("finetune modl=resnet50", "'modl'", "Did you mean model"),
    ("finetune stage=lora model.lora_rank=0", "stage.adapters.train=lora", "model.lora_rank=8"),
    ("check task=regression data=digits", "task.name=regression learns numbers", "class labels"),
    ("check task=joint", "task=joint", "one objective"),
    ("finetune -sc install", "--shell-completion", "fmkit completion bash"),
    ("finetune model.lora_rank=-1", "-1", "at least 0"),
    ("finetune model.lora_targets='(query'", "'(query'", "a regular expression"),
    ("finetune data.augment=None", "'None'", "none"),
    ("finetune stage.full.train=All", "'All'", "Did you mean all"),
    ("finetune stage.full.train=Top:2", "'Top:2'", "Did you mean top:2"),
    ("finetune stage.full.train=top", "'top'", "top:N"),
    ("finetune stage.full.train=top:0", "'top:0'", "above 0"),
    ("finetune stage.full.train=nrom", "'nrom'", "Did you mean norm"),
    ("finetune stage.full.train=head:2", "'head:2'", "Did you mean head"),
    ("finetune stage.full.train=blocks:", "'blocks:'", "it is empty"),
    ("finetune stage.full.train=blocks:*", "'blocks:*'", "nothing to repeat"),
    ("finetune stage.full.rates=3", "3", "a mapping"),
    ("finetune stage.full.rates={stem:fast}", "'fast'", "a number"),
    ("finetune stage.full.rates={stem:0}", "stage.full.rates.stem", "above 0"),
    ("finetune stage.full.rates={*:1}", "'*'", "nothing to repeat"),
    ("finetune stage.full.rate={stem:0.1}", "stage.full.rate", "rates"),
    (
        "finetune runtime.mlflow.experimnt=x",
        "runtime.mlflow.experimnt",
        "runtime.mlflow.experiment",
    ),
    ("finetune runtime.wandb.mode=maybe", "'maybe'", "online, offline"),
    ("finetune runtime.mlflow.experiment=[a]", "runtime.mlflow.experiment", "a text"),
    ("finetune runtime.wandb=x", "runtime.wandb", "runtime.wandb.project"),
    ("finetune runtime.loggers=[mlflw]", "'mlflw'", "mlflow"),
    ("finetune optimizer.layer_decay=0", "0", "at most 1"),
    ("finetune optimizer.l2_sp=-1", "-1", "at least 0"),
    ("finetune optimizer.name=sgd", "optimizer.name=sgd", "Write optimizer=sgd"),
    ("finetune stage.head={epocs:3}", "stage.head.epocs", "stage.head.epochs"),
    ("finetune stage.head=3", "stage.head", "stage.head.epochs"),
    ("finetune ~stage.hed", "stage.hed", "stage.head"),
    ("finetune ~optimizer.learning_rate", "optimizer.learning_rate", "phase"),
    ("finetune data=image_folder data.root=", "data.root", "must not be empty"),
    ("finetune data.split_seed=-1", "-1", "from 0"),
    ("finetune model.weights=Imagenet", "Imagenet", "Did you mean imagenet"),
    ("finetune -m data.val_fraction=0.1,0.9 data.test_fraction=0.2", "val_fraction=0.9", "job"),
    ("finetune -m data=mnist5k,image_folder", "data.root is missing", "data=image_folder"),
    ("finetune -m model=glob(*)", "model=glob(*)", "list of values"),
    ("finetune -m init=a,b", "init", "one value"),
    ("predict -m run=a input=b", "predict", "-m"),
    ("finetune -m data=digits,mnist5k --info all", "--multirun and --info", "one of them"),
    ("finetune --run --info all --cfg job", "--run and --cfg and --info", "one of them"),
    ("generate model.name=hub", "model.name", "no model is chosen"),
    ("finetune name=1e3", "1e3 is read as a number", "quotes"),
    ("finetune stage.full.train=5", "'5'", "top:N"),
    ("finetune stage.full.train=true", "'True'", "top:N"),
    ("finetune data=text_table data.root=x data.encoding=1e3", "1000.0", "utf-8"),
    ("finetune data=imagefolder", "'imagefolder'", "image_folder"),
    ("finetune stage.hed.epoch=3", "stage.hed.epoch", "stage.head.epoch"),
    ("finetune stage.head.epochs=many", "'many'", "10 epochs"),
    ("finetune stage.head.epochs=0", "'0'", "~stage.head"),
    ("finetune +stage.third.train=all", "stage.third", "stage=mine"),
    ("finetune lr=1", "'lr'", "optimizer.learning_rate"),
    ("finetune data.grey_range=[0,high]", "data.grey_range", "a list of numbers"),
    ("finetune data.grey_range=5", "data.grey_range", "a list of numbers"),
    ("finetune data.grey_range=[9,2]", "data.grey_range", "9"),
    ("finetune data.augment=hevy", "'hevy'", "medium"),
    ("finetune data.root=photos", "data.root", "image_folder"),
    ("finetune data=image_folder", "data.root is missing", "folder"),
    (
        "tokenizer train data=text_lines data.root=a",
        "output is missing",
        "Example: fmkit tokenizer train data=text_lines data.root=a output=VALUE",
    ),
    ("eval", "run is missing", "Example: fmkit eval run=last"),
    ("check data=image_folder", "Example: fmkit check data=image_folder data.root=VALUE", ""),
    ("finetune data.val_fraction=0.6 data.test_fraction=0.6", "0.6", "below 1"),
    ("finetune model.image_size=1.5", "1.5", "a whole number"),
    ("finetune model=hub", "model.preset is missing", "resnet_18_imagenet"),
    ("finetune model=small_cnn model.tokenizer=here", "model.tokenizer=", "small_bert, small_gpt"),
    ("finetune model=small_bert model.max_length=4", "model.max_length", "from 8 to 131072 tokens"),
    ("finetune model.weights=pretraind", "model.weights", "Did you mean pretrained"),
    ("finetune model.weights=nowhere.h5", "nowhere.h5", "exists"),
    ("finetune +foo=1", "'foo'", "optimizer, plugins"),
    ("predict run=x input=y model=resnet50", "'model'", "the run's own"),
    ("finetune +optimizer.extra=1", "optimizer.extra", "Keys of optimizer"),
    ("finetune --epochs 3", "--epochs", "key=value"),
    ("finetune data.batch_size", "data.batch_size", "key=value"),
    ("finetune data.batch_size=16,32", "16,32", "-m"),
    ("finetune optimizer=adan", "'adan'", "adam"),
    ("finetune runtime.precision=float16", "float16", "mixed_float16"),
    ("finetune task.monitor=val_acuracy", "val_acuracy", "val_accuracy"),
    ("finetune task.monitor=val_knn_accuracy", "'val_knn_accuracy'", "val_accuracy"),
    ("pretrain task=simclr task.monitor=val_accuracy", "'val_accuracy'", "val_knn_accuracy"),
    ("pretrain task.name=simclr", "task.name=simclr", "Write task=simclr"),
    ("pretrain task=simclr task.label_smoothing=0.1", "task.label_smoothing", "classification"),
    ("pretrain task=simclr task.temperature=0", "0", "above 0"),
    ("pretrain task=vicreg task.projection_layers=9", "9", "from 1 to 4"),
    ("pretrain task=masked_image task.mask_ratio=1", "1", "below 1"),
    ("pretrain task=masked_image task.method=mea", "'mea'", "simmim"),
    ("pretrain task=masked_image task.decoder_width=30", "30", "a multiple of 4"),
    ("pretrain task=masked_image task.method=mae task.mask_block=4", "task.mask_block", "simmim"),
    ("pretrain task=masked_image data=photos", "data.root is missing", "folder"),
    ("finetune --config-dir=/no/such/dir", "/no/such/dir", "exists"),
    ("finetune plugins=nothing.py", "nothing.py", "exists"),
    ("finetune recipe=atuo", "'atuo'", "Did you mean auto"),
    ("finetune recipe=null", "recipe", "must not be empty"),
    ("finetunne", "finetunne", "finetune"),
    ("eval", "run is missing", "fmkit eval run="),
    ("predict run=x", "input is missing", "Images or texts"),
]


@pytest.mark.parametrize(("line", "came", "allowed"), MISTAKES, ids=[each[0] for each in MISTAKES])
def test_a_mistake_gets_one_clear_message(line, came, allowed, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    told = capsys.readouterr()
    assert came in told.err
    assert allowed in told.err
    assert told.out == ""
    assert len(told.err.strip().splitlines()) <= 4
    assert "Traceback" not in told.err
    assert not list(tmp_path.iterdir())  # nothing was trained, nothing is left


def test_all_problems_are_told_at_once(capsys):
    words = "finetune model=resnet5 optimizer.lr=1 stage.full.epochs=x data.augment=hevy"
    assert main(words.split()) == 2
    told = capsys.readouterr().err
    assert "4 problems" in told
    for each in ("resnet5", "optimizer.lr", "stage.full.epochs", "hevy"):
        assert each in told


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("finetune optimizer.leraning_rate=1e-4 data=digits",
         "fmkit finetune optimizer.learning_rate=1e-4 data=digits"),
        ("pretrain data=digit data.batch_size=4", "fmkit pretrain data=digits data.batch_size=4"),
        ("finetune -m dat=digits model=small_cn", "fmkit finetune --multirun data=digits "
                                                  "model=small_cnn"),
        ("finetune stage.head.epoch=3", "fmkit finetune stage.head.epochs=3"),
        ("finetune wd=0.1", "fmkit finetune optimizer.weight_decay=0.1"),
        ("finetune fp16=true", "fmkit finetune runtime.precision=mixed_float16"),
    ],
)  # fmt: skip
def test_the_line_is_repeated_with_its_corrections(line, corrected, capsys):
    assert main(line.split()) == 2
    assert f"Type: {corrected}\n" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["data=digit data.batch_size=none", "gpus=2", "data.bs=none"])
def test_a_line_that_stays_wrong_is_not_repeated(words, capsys):
    assert main(["finetune", *words.split()]) == 2
    assert "Type:" not in capsys.readouterr().err


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("optimizer:\n  lerning_rate: 1\n", 2, "optimizer.learning_rate"),
        ("data:\n  batch_size: many\n", 2, "a whole number"),
        ("stage:\n  head:\n    epoch: 3\n", 3, "stage.head.epochs"),
        ("optimizer:\n  schedule: cosin\n", 2, "cosine"),
        ("stage:\n  hed:\n    epochs: 3\n", 3, "stage.head.epochs"),
        ("optimizer: [1,\n", 2, "YAML"),
        ("init: last\n", 1, "command line"),
        ("defaults:\n  - override /stge: mine\n", 2, "Did you mean stage?"),
        ("defaults:\n  - override /stage: lpft\n", 2, "Did you mean lp_ft?"),
        ("defaults:\n  - solar_cell\n", 2, "Did you mean solar_cells or solar_cells_small?"),
        ("optimizer: {epsilon: 1e-8}\noptimizer: {}\n", 2, "duplicate key 'optimizer'"),
    ],
)
def test_a_mistake_in_a_file_names_file_and_line(text, line, said, capsys, tmp_path):
    header = "# @package _global_\n"
    path = write(tmp_path, "experiment/mine.yaml", header + text)
    assert main(["finetune", f"--config-dir={tmp_path}", "experiment=mine"]) == 2
    told = capsys.readouterr().err
    assert f"{path}:{line + 1}" in told
    assert said in told


def test_a_users_own_group_file_is_typed_by_the_option_it_builds_on(capsys, tmp_path):
    text = "defaults: [image_folder, _self_]\nroot: photos\nbatch_sise: 3\n"
    path = write(tmp_path, "data/mine.yaml", text)
    assert main(["finetune", f"--config-dir={tmp_path}", "data=mine"]) == 2
    told = capsys.readouterr().err
    assert f"{path}:3" in told
    assert "data.batch_size" in told
    path.write_text(text.replace("batch_sise", "batch_size"))
    assert main(["finetune", f"--config-dir={tmp_path}", "data=mine", "--cfg", "job"]) == 0
    assert "batch_size: 3" in capsys.readouterr().out


def test_a_base_that_does_not_exist_is_the_one_thing_told(capsys, tmp_path):
    path = write(tmp_path, "data/mine.yaml", "defaults: [image_foldr, _self_]\nroot: photos\n")
    assert main(["finetune", f"--config-dir={tmp_path}", "data=mine"]) == 2
    told = capsys.readouterr().err
    assert f"{path}:1: data: received 'image_foldr'. Did you mean image_folder?" in told
    assert "data.root" not in told


def test_a_file_of_weights_is_known_by_its_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").touch()
    (tmp_path / "weights.pth").touch()
    for line, allowed in (
        ("finetune model.weights=weights.bin", ".npz or .pth"),
        ("finetune model=resnet50 model.weights=weights.pth", ".npz, for model resnet50"),
    ):
        assert main(line.split()) == 2
        told = capsys.readouterr().err
        assert f"received '{line.rpartition('=')[2]}'" in told  # as typed, not from the root
        assert allowed in told
    assert not (tmp_path / "runs").exists()
    line = "finetune model.weights=weights.pth --cfg job"
    assert main(line.split()) == 0


def test_cfg_job_of_a_sweep_shows_the_config_of_each_job(capsys):
    line = "finetune -m optimizer.learning_rate=1e-4,1e-3 model=resnet50,vgg16 --cfg job"
    assert main(line.split()) == 0
    shown = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [(one["optimizer"]["learning_rate"], one["model"]["name"]) for one in shown] == [
        (0.0001, "resnet50"), (0.0001, "vgg16"), (0.001, "resnet50"), (0.001, "vgg16"),
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["experiment=clothes", "+experiment=clothes", "++data=digits"])
def test_a_plus_before_a_group_means_nothing(word, capsys):
    assert main(["finetune", word, "+optimizer.learning_rate=0.5", "--cfg", "job"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["data"]["name"] == ("digits" if "data" in word else "fashion_mnist")
    assert shown["optimizer"]["learning_rate"] == 0.5


def test_files_may_build_on_files(capsys, tmp_path):
    write(tmp_path, "optimizer/mysgd.yaml", "defaults: [sgd, _self_]\nmomentum: 0.8\n")
    write(tmp_path, "optimizer/chain.yaml", "defaults: [mysgd, _self_]\nnesterov: false\n")
    write(tmp_path, "stage/built.yaml", "defaults: [lp_ft, _self_]\nextra: {train: all}\n")
    words = ["optimizer=chain", "optimizer.momentum=0.7", "stage=built", "stage.head.epochs=3"]
    assert main(["finetune", *words, "--config-dir", str(tmp_path), "--cfg", "job"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["optimizer"]["name"] == "sgd"
    assert (shown["optimizer"]["momentum"], shown["optimizer"]["nesterov"]) == (0.7, False)
    assert list(shown["stage"]) == ["head", "full", "extra"]


def test_an_experiment_without_its_header_is_told(capsys, tmp_path):
    path = write(tmp_path, "experiment/mine.yaml", "optimizer: {epsilon: 1e-8}\n")
    assert main(["finetune", f"--config-dir={tmp_path}", "experiment=mine"]) == 2
    told = capsys.readouterr().err
    assert f"{path}:1" in told
    assert "@package _global_" in told


def test_flags_may_stand_anywhere(capsys):
    assert main(["finetune", "model=resnet50", "--cfg", "job", "data=digits"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["model"]["name"], shown["data"]["name"]) == ("resnet50", "digits")


@pytest.mark.parametrize(
    "text", ["a b", "c:\\\\new", "it's", "{x}", "tail\\", "a,b=c", "${x}", "\\'"]
)
def test_a_recorded_text_comes_back_as_it_was(text):
    line = command_line.parse("finetune", [f"name={quote(text)}"])
    value = line.value("name")
    assert value.replace("\\${", "${") == text


def test_config_errors_and_help_import_no_framework():
    code = (
        "import sys\n"
        "from fmkit.cli import main\n"
        "lines = ('finetune lr=1', '--help', 'finetune --help', 'runs')\n"
        "codes = [main(line.split()) for line in lines]\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "print(codes, sorted(heavy), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("[2, 0, 0, 0] []")
