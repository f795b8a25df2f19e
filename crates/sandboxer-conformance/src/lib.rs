//! One behaviour suite for every extension: trials generated from declared capabilities.
