"""What is generated from the program or its sources, and looked up for it: pages, exchange closures, vulnerabilities."""
