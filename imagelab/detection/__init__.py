"""Detectors of generated images: trained on a run's own generations, tested on images that they never saw.

cues            what a detector reads of an image: features, spectrum, error of the run's own autoencoder
classifier      logistic regression on cues; saved as arrays, never as pickles
division        which images train and which test; no image is in both
verdicts        scores -> AUROC, rates at few false positives, calibration, all with intervals
prevalence      how many images of a mixed set are generated
altered         the images after JPEG and after resizing
workbench       the images of a run, and their cues
trials          every detector of a run on every generation, line and second run
record          what `imagelab detect` writes into a run, and how it is checked before it is believed
summary         means over trainings, for tables and pages
"""
