//! Nothing to use: the tests of this package are in its integration test files.
