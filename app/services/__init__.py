"""What a party can do here: one module for each noun, one function for each thing said or done. No HTTP."""
