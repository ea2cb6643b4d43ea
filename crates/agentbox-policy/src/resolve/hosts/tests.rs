//! What is reached, and what is refused in whole messages.
