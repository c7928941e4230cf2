"""Sets of labelled images: each a function of its option that gives the training and the test split as stored."""
