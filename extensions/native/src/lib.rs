//! ext.native: the native runtime as a sand-boxer extension.
