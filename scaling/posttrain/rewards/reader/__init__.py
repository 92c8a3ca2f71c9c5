"""The embedded gold reward: a reader of sentences who counts words and knows how people rate them."""
