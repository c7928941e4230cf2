"""Online prediction of a stream by a bank of Lipschitz networks."""
