"""Pretrains KeBioLM, its ablations, and the control that only reads on (sections 3.2, 4.1 and 4.5)."""
