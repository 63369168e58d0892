"""The peer's side of `corpus_vs_datatrove`: datatrove's FineWeb recipe on one task, run by the peer's own Python.

It knows nothing of the engine: `/tmp/bench-peer/bin/python benchmarks/peer_datatrove.py --help`.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter, LanguageFilter, URLFilter
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.lid import FT176LID

# Seconds a page, as the engine allows. The recipe's own limit, 1 s of wall time, would drop pages on a busy machine.
PAGE_S = 10


def main() -> None:
    """Run the recipe and print what became of the records as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lang", required=True, help="label of the fastText model")
    parser.add_argument("--tokenizer", required=True, help="ISO 639-3 code of datatrove's word tokenizer")
    parser.add_argument("--model", required=True, help="path of lid.176.ftz")
    parser.add_argument("--input", required=True, help="folder of WARC files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prepare", action="store_true", help="only unpack the URL lists and place the model")
    arguments = parser.parse_args()
    # The model is that of the engine, from a file: there is nothing to download.
    FT176LID.MODEL_URL = f"file://{arguments.model}"
    urls = URLFilter()
    urls.tldextractor = importlib.import_module("tldextract").TLDExtract(suffix_list_urls=())
    language = LanguageFilter([arguments.lang])
    if arguments.prepare:
        urls.download_data()
        assert language.model.model is not None
        return
    executor = LocalPipelineExecutor(
        [
            WarcReader(arguments.input, glob_pattern="*.warc.gz"),
            urls,
            Trafilatura(favour_precision=True, timeout=PAGE_S),
            language,
            GopherRepetitionFilter(language=arguments.tokenizer),
            # Gopher's stop words are English: without this nothing in another language would stay.
            GopherQualityFilter(language=arguments.tokenizer, min_stop_words=0),
            JsonlWriter(str(arguments.out / "documents")),
        ],
        tasks=1,
        workers=1,
        logging_dir=str(arguments.out / "logs"),
    )
    executor.run()
    steps = json.loads((arguments.out / "logs" / "stats.json").read_text())
    print(json.dumps([{"name": step["name"], "stats": step["stats"]} for step in steps]))


if __name__ == "__main__":
    main()
