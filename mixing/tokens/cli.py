"""Commands on tokens: tokens, tokenizer, where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.load import load_config
from curation.charts import share, size
from curation.job_folder import locked_output
from curation.report import visible
from curation.runner import Runner
from curation.terminal import StageProgress, shown
from mixing.tokens.byte_level_bpe import BpeConfig, save_tokenizer, train_byte_level_bpe, training_facts
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import CorpusFolder, find_corpora
from mixing.tokens.folder import (
    TOKENIZER_FOLDER,
    keep_tokenizer,
    kept_tokenizer,
    refuse_reserved_names,
    trained_otherwise,
)
from mixing.tokens.job import choose_dtype, tokenize_corpora
from mixing.tokens.standing import finished_sources
from mixing.tokens.token_source import LEFT_OUT_FILE, TokenSource
from mixing.tokens.tokenizer_file import DEFAULT_EOD, TOKENIZER_FILE, TokenizerFile, find_tokenizer
from mixing.tokens.where import Place, find_place

# Tables need room; where the output is no terminal, nobody wraps it.
_WIDTH = 140

Corpora = Annotated[
    str,
    typer.Option(
        help="Folder of a finished corpus, or a glob; several by comma. A source is called as its folder, or as "
        "name=folder says: el,el-raw=raw/el."
    ),
]
Config = Annotated[Path | None, typer.Option(help="YAML file; names only what differs from the defaults.")]


def tokens_command(
    corpus: Corpora,
    out: Annotated[Path, typer.Option(help="Folder of token sources.")] = Path("tokens"),
    tokenizer: Annotated[Path | None, typer.Option(help="A tokenizer.json of Hugging Face, or its folder.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Tasks at a time. Default: all processors.")] = None,
    config: Config = None,
) -> None:
    """From curated documents to token shards in Megatron-LM's format, with a part held out for validation."""
    error, out = Console(stderr=True), out.expanduser().absolute()
    settings = load_config(config, TokensConfig) if config else TokensConfig()
    corpora = find_corpora(corpus)
    refuse_reserved_names(corpora)
    with locked_output(out):
        chosen = _choose_tokenizer(out, tokenizer, corpora, settings, error)
        kept = keep_tokenizer(out, chosen, choose_dtype(chosen, settings.dtype))
        with Runner(workers, settings.retries) as runner, StageProgress(error, out / ".work") as progress:
            done = tokenize_corpora(corpora, kept, out, settings, runner, progress.update)
        for source, stood in done:
            if stood:
                error.print(f"{shown(source.folder)} is up to date: every byte was compared", soft_wrap=True)
        sources = [source for source, _ in done]
        beside = finished_sources(out)
    print_sources(_console(), sources)
    _print_uncompared(_console(), sources, beside)


def tokenizer_command(
    corpus: Corpora,
    out: Annotated[Path, typer.Option(help="Folder that the tokenizer is written into.")],
    config: Config = None,
) -> None:
    """Train a small byte-level BPE on some corpora: a tokenizer where no model brings one."""
    settings = load_config(config, TokensConfig) if config else TokensConfig()
    out = out.expanduser().absolute()
    corpora = find_corpora(corpus)
    with locked_output(out):
        _train(out, corpora, settings.bpe, settings.eod or DEFAULT_EOD)
    made = find_tokenizer(out, settings.eod)
    _console().print(
        f"{made.vocabulary_size:,} tokens, learnt from {', '.join(own.name for own in corpora)}: "
        f"{shown(out / TOKENIZER_FILE)}",
        soft_wrap=True,
        highlight=False,
    )


def where_command(
    token: Annotated[str, typer.Option(help="<source>/<shard>:<offset>; the offset counts tokens of the .bin file.")],
    tokens: Annotated[Path, typer.Option(help="Folder of token sources.")] = Path("tokens"),
    corpus: Annotated[Path | None, typer.Option(help="The corpus, where it is no longer in its folder.")] = None,
) -> None:
    """From a training token back to its document, its URL and its record in the crawl."""
    _print_place(_console(), token, find_place(tokens.expanduser().absolute(), token, corpus))


def print_sources(console: Console, sources: Sequence[TokenSource]) -> None:
    """Print what was tokenized, and the fertility of the tokenizer by language."""
    table = Table("source", "split", title=f"tokenizer {shown(sources[0].tokenizer.name)}")
    for name in ("documents", "tokens", "words", "characters", "text", "shards"):
        table.add_column(name, justify="right")
    for source in sources:
        for split, sums in (("train", source.totals), ("validation", source.validation)):
            numbers = (f"{n:,}" for n in (sums.documents, sums.tokens, sums.words, sums.characters))
            shards = str(sum(shard.split == split for shard in source.shards))
            table.add_row(shown(source.source), split, *numbers, size(sums.utf8_bytes), shards)
    console.print(table)
    rates = Table("source", "language", title="fertility: tokens without those that end documents")
    for name in ("tokens a word", "tokens a byte", "unknown"):
        rates.add_column(name, justify="right")
    for source in sources:
        for language, own in source.fertility.items():
            values = (
                _number(own.tokens_per_word),
                _number(own.tokens_per_byte),
                "–" if own.unknown_share is None else share(own.unknown_share, 1),
            )
            rates.add_row(shown(source.source), shown(language), *values)
    console.print(rates)
    for source in sources:
        if moved := sum(source.moved_to_training.values()):
            console.print(
                f"{shown(source.source)}: {moved:,} documents that were to be held out went to training: they may be "
                "near duplicates of training documents",
                soft_wrap=True,
                highlight=False,
            )
        if left_out := sum(source.left_out.values()):
            console.print(
                f"{shown(source.source)}: {left_out:,} documents were left out: other sources hold out the same "
                f"texts, or near duplicates; {LEFT_OUT_FILE} names them",
                soft_wrap=True,
                highlight=False,
            )
        if source.not_compared:
            console.print(
                f"{shown(source.source)}: {source.not_compared:,} held-out documents were compared with those for "
                "training for equal texts only: the corpus has no band keys of them",
                soft_wrap=True,
                highlight=False,
            )
    console.print(f"{shown(sources[0].folder.parent)}/<source>/tokens.json", soft_wrap=True, highlight=False)


def _print_uncompared(console: Console, sources: Sequence[TokenSource], beside: Mapping[str, TokenSource]) -> None:
    """Say which sources of the folder could not be compared with one another, or only for equal texts."""
    for name, own in beside.items():
        if own.fingerprints is None:
            console.print(
                f"{shown(name)}: made by an earlier version, so what it holds out may stand in the training texts of "
                f"others, and the other way round: run `make tokens` for {shown(own.corpus.folder)} again",
                soft_wrap=True,
                highlight=False,
            )
    without = sorted(name for name, own in beside.items() if not own.corpus.indexes)
    kinds = {own.band_keys for own in beside.values() if own.corpus.indexes}
    if len(beside) > 1 and (without or len(kinds) > 1):
        why = [f"{shown(', '.join(without))} have no band keys"] if without else []
        why += ["band keys were made with different settings of MinHash"] if len(kinds) > 1 else []
        console.print(
            "what one source holds out is, as equal text, in no other source's training texts; near duplicates between "
            f"sources are known in part only: {'; '.join(why)}",
            soft_wrap=True,
            highlight=False,
        )


def _choose_tokenizer(
    out: Path, wanted: Path | None, corpora: Sequence[CorpusFolder], settings: TokensConfig, console: Console
) -> TokenizerFile:
    """Return the tokenizer that is named, or the folder's own, or one that is trained now."""
    if wanted is not None:
        return find_tokenizer(wanted.expanduser().absolute(), settings.eod)
    anew = trained_otherwise(out, settings.bpe, settings.eod)
    if not anew and (kept := kept_tokenizer(out, settings.eod)) is not None:
        console.print(f"tokenizer: {shown(kept.name)}, kept in {shown(out / TOKENIZER_FOLDER)}", soft_wrap=True)
        return kept
    why = "the tokenizer there was trained with other settings" if anew else "no TOKENIZER was given"
    console.print(
        f"{why}: training a byte-level BPE of {settings.bpe.vocabulary_size:,} tokens on "
        f"{', '.join(shown(own.name) for own in corpora)}; to go on training a model, give the model's own",
        soft_wrap=True,
        highlight=False,
    )
    eod = settings.eod or DEFAULT_EOD
    _train(out / TOKENIZER_FOLDER, corpora, settings.bpe, eod)
    return find_tokenizer(out / TOKENIZER_FOLDER, eod)


def _train(folder: Path, corpora: Sequence[CorpusFolder], config: BpeConfig, eod: str) -> None:
    trained = train_byte_level_bpe(corpora, config, eod)
    name = f"byte-level-bpe-{trained.get_vocab_size()}"
    save_tokenizer(folder, trained, name, eod, training_facts(corpora, config))


def _print_place(console: Console, wanted: str, place: Place) -> None:
    document = place.document
    told = "the end of the document" if not place.text and not place.after else repr(place.text)
    facts = [
        ("token", f"{place.token} {place.written!r}, {told}"),
        ("place", f"token {place.position:,} of {document['tokens']:,} in the document, {document['split']}"),
        ("document", f"{document['document_id']}, {document['file']} row {document['row']}"),
        ("url", str(document["url"] or "–")),
        *(("pair", own) for own in place.pairs),
        *(
            ("record", f"{own['warc_file']} at {own['warc_offset']}, record {own['sequence']}: {own['record_id']}")
            for own in place.records
        ),
    ]
    table = Table("", shown(wanted), show_header=True)
    for name, value in facts:
        table.add_row(name, shown(value))
    console.print(table)
    text = Text(_flat(place.before))
    text.append(f"«{_flat(place.text)}»", style="bold reverse")
    text.append(_flat(place.after))
    console.print(text, soft_wrap=True)


def _flat(text: str) -> str:
    return visible(" ".join(text.splitlines()), len(text))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _console() -> Console:
    console = Console(emoji=False)
    return console if console.is_terminal else Console(emoji=False, width=_WIDTH)
