"""The decoder: attention, rotary positions, the loss that is fused with its head."""
