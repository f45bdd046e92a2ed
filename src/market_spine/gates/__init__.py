"""What keeps a capture from becoming current: what a content's figures are judged by, and the sentence that says why."""
