"""Fine-tuning as in KeBioLM, section 4.3: any encoder, NER and relation tasks, one loop."""
