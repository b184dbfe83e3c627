"""What changes a loaded model without being saved into it: LoRAs, embeddings, hypernetworks."""
