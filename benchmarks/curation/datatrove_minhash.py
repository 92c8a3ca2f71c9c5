"""Near-duplicates by datatrove's MinHash with FineWeb's setting, run by the Python of an environment that has it.

    PYTHON benchmarks/curation/datatrove_minhash.py TEXTS.json MADE.json [rules]

Writes the places of the texts that stay, and the CPU seconds without imports and the loading of its tokenizer. With
``rules``, its filters of Gopher's and FineWeb's rules go first.
"""

import json
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.utils.hashing import HashConfig

    texts = json.loads(Path(sys.argv[1]).read_text())
    # FineWeb: 14 buckets of 8 hashes of 64 bits, 5-grams (2406.17557).
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=64))
    with tempfile.TemporaryDirectory() as folder:
        signature = MinhashDedupSignature(f"{folder}/signatures", config, language="eng")
        signature.word_tokenizer.word_tokenize("loads what it needs")
        begun = time.process_time()
        documents = [Document(text=text, id=str(place)) for place, text in enumerate(texts)]
        for rules in (GopherRepetitionFilter, GopherQualityFilter, FineWebQualityFilter) if len(sys.argv) > 3 else ():
            documents = list(rules().run(documents, 0, 1))
        signature.run(documents, 0, 1)
        for bucket in range(config.num_buckets):
            buckets = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)
            buckets.run(None, bucket, config.num_buckets)
        MinhashDedupCluster(f"{folder}/buckets", f"{folder}/clusters", config=config).run(None, 0, 1)
        filtered = MinhashDedupFilter(f"{folder}/clusters").run(documents, 0, 1)
        kept = [int(document.id) for document in filtered]
        seconds = time.process_time() - begun
    Path(sys.argv[2]).write_text(json.dumps({"kept": kept, "seconds": seconds}))


if __name__ == "__main__":
    main()
