"""How ranks share the work: FSDP2, tensor, sequence, context and pipeline parallelism."""
