"""Corpora -> token shards, as Megatron-LM reads them."""
