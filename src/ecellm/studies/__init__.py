"""The paper's studies: grids of ordinary runs that differ in one thing, and what comes of comparing them."""
