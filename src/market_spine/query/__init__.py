"""What the tables answer: any view now or as it was known on a day, histories, differences, files."""
