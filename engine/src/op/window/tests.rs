//! Window functions against an oracle that walks every frame.
