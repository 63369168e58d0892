"""The peer's side of `tokenize_speed`: datatrove's DocumentTokenizer on Parquet files, run by the peer's own Python.

Its fastest settings: columns besides text and id are not read, documents are not shuffled. It knows nothing of the
engine: `/tmp/bench-peer/bin/python benchmarks/peer_tokenize.py --help`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.tokens import DocumentTokenizer


def main() -> None:
    """Tokenize the files in one task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, help="folder of Parquet files")
    parser.add_argument("--tokenizer", required=True, help="path of a tokenizer.json")
    parser.add_argument("--eod", required=True, help="the token that ends a document")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    executor = LocalPipelineExecutor(
        [
            ParquetReader(arguments.input, glob_pattern="*.parquet", read_metadata=False),
            DocumentTokenizer(
                str(arguments.out / "tokens"),
                arguments.tokenizer,
                eos_token=arguments.eod,
                shuffle_documents=False,
            ),
        ],
        tasks=1,
        workers=1,
        logging_dir=str(arguments.out / "logs"),
    )
    executor.run()


if __name__ == "__main__":
    main()
