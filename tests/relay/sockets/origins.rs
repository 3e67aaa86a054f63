//! Origins B and D: their documented environments and their clients' calls.
