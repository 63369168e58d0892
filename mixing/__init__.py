"""Corpora and pairs into token shards and mixture manifests."""
