module siglab/tests/e2e

go 1.26
