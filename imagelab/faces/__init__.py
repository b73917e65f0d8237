"""The program that draws the faces: a latent record of a person in, pixels and a list of freckles out."""
