"""The masked autoencoder: decoder, targets and the auxiliary itself."""
