"""What the stored weeks say: views, as known on a day, differences, exports."""
