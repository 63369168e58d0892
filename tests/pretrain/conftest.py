"""One thread for tiny products: threads that wait for each other take longer, and take cores from other tests."""

import torch

torch.set_num_threads(1)
