"""The paper's studies (grids of ordinary runs that differ in one thing, compared) and public benchmarks."""
