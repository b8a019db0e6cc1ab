"""What carries an item to the model and brings its outcome back."""
