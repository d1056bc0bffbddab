"""The models of parity.py: the real one, and random encoders of a moderately real size with a tokenizer trained on
the data, saved as HF folders. A case holds the model folder, the rows, the LoRA settings and the reference's batch."""
import torch
import transformers
from peft import LoraConfig, TaskType
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

BERT = dict(vocab_size=3000, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512,
            max_position_embeddings=130)
DISTILBERT = dict(vocab_size=3000, dim=128, n_layers=4, n_heads=4, hidden_dim=512, max_position_embeddings=128)


class Case:
    def __init__(self, name, folder, tokenizer, rows, about, targets="all-linear", r=8, alpha=16, rslora=False,
                 max_length=32):
        """rows: {"text", "label"} and "pair" or not; a float label means regression."""
        self.name, self.folder, self.tokenizer, self.rows, self.about = name, folder, tokenizer, rows, about
        self.targets, self.max_length, self.pairs = targets, max_length, "pair" in rows[0]
        labels = [row["label"] for row in rows]
        if isinstance(labels[0], float):
            self.classes, self.labels = None, torch.tensor(labels)
        else:
            self.classes = sorted(set(labels))
            self.labels = torch.tensor([self.classes.index(label) for label in labels])
        self.config = transformers.AutoConfig.from_pretrained(folder)
        self.lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=r, lora_alpha=alpha, lora_dropout=0.0, use_rslora=rslora,
                               target_modules=targets if targets == "all-linear" else targets.split(","))
        if self.config.model_type == "distilbert":  # peft would adapt it and also save it whole, and fails
            self.lora.exclude_modules = ["pre_classifier"]

    def load(self):
        """The head of the folder, if it has one, is of no interest: the adapter brings its own."""
        return transformers.AutoModelForSequenceClassification.from_pretrained(
            self.folder, num_labels=len(self.classes) if self.classes else 1, dtype=torch.float32,
            ignore_mismatched_sizes=True).eval()

    def batch(self):
        texts = [[row["text"] for row in self.rows]]
        if self.pairs:
            texts.append([row["pair"] for row in self.rows])
        batch = self.tokenizer(*texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt",
                               return_token_type_ids=self.config.model_type != "distilbert")
        return dict(batch)


# ---- rows --------------------------------------------------------------------------------------------------------

def pick(data, n):
    """Short and long rows: every fourth comes from the longest of the data."""
    longest = sorted(data, key=lambda row: len(row["text"]), reverse=True)[:n // 4]
    rows = data[:n - len(longest)]
    for i, row in enumerate(longest):
        rows.insert(4 * i, row)
    return [dict(text=row["text"], label=row["label"]) for row in rows]


def with_pairs(rows, data):
    return [dict(row, pair=other["text"]) for row, other in zip(rows, data[1000:])]


def with_targets(rows):
    return [dict(row, label=round(torch.randn(()).item(), 4)) for row in rows]


# ---- models and tokenizers made on the spot ----------------------------------------------------------------------

def randomize(model):
    """Weights large enough that a wrong operation shows."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape)
        with torch.no_grad():
            if "layernorm" in name.lower() or "layer_norm" in name:
                p.copy_(1 + 0.2 * noise if name.endswith("weight") else 0.1 * noise)
            else:
                p.copy_((0.3 if "embeddings" in name else 0.1) * noise)


def wordpiece(texts):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=3000, special_tokens=special,
                                                           show_progress=False))
    t.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     [("[CLS]", 2), ("[SEP]", 3)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", unk_token="[UNK]",
                                                cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


def byte_bpe(texts):
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=3000, special_tokens=special, show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=t, pad_token="<pad>", unk_token="<unk>",
                                                cls_token="<s>", sep_token="</s>", bos_token="<s>", eos_token="</s>",
                                                mask_token="<mask>")


def save(folder, kind, config, tokenizer):
    folder = folder / "model"
    model = kind(config).eval()
    randomize(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, tokenizer


def texts_of(data):
    return [row["text"] for row in data[:4000]]


# ---- the cases: name, real model, data, folder to write in -> Case -----------------------------------------------

def minilm(name, real, data, folder):
    return Case(name, real, transformers.AutoTokenizer.from_pretrained(real), pick(data, 16),
                "all-MiniLM-L6-v2, LoRA r 8 on all linears", max_length=64)


def bert(name, real, data, folder):
    made = save(folder, transformers.BertForSequenceClassification, transformers.BertConfig(**BERT),
                wordpiece(texts_of(data)))
    return Case(name, *made, with_pairs(pick(data, 24), data), "text pairs, LoRA r 8 on all linears", max_length=48)


def roberta(name, real, data, folder):
    config = transformers.RobertaConfig(**BERT, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
                                        layer_norm_eps=1e-5)
    made = save(folder, transformers.RobertaForSequenceClassification, config, byte_bpe(texts_of(data)))
    return Case(name, *made, pick(data, 24), "rsLoRA r 16 on all linears", r=16, alpha=8, rslora=True)


def distilbert(name, real, data, folder):
    made = save(folder, transformers.DistilBertForSequenceClassification, transformers.DistilBertConfig(**DISTILBERT),
                wordpiece(texts_of(data)))
    return Case(name, *made, pick(data, 24), "LoRA r 8 on all linears")


def bert_regression(name, real, data, folder):
    made = save(folder, transformers.BertForSequenceClassification,
                transformers.BertConfig(**BERT, num_labels=1), wordpiece(texts_of(data)))
    return Case(name, *made, with_targets(pick(data, 24)), "regression, LoRA r 4 on query, value", r=4,
                targets="query,value")


CASES = dict(minilm=minilm, bert=bert, roberta=roberta, distilbert=distilbert, bert_regression=bert_regression)
