"""A simulated year of Fridays: FINRA, operators and everything that goes wrong, against a model in plain Python.

finra     what FINRA serves on a day, and how it changes
measures  what every view must show of a content
ledger    what the store must hold: captures, withdrawals, and each past day as it was when it ended
sources   the two ways to the data: a folder of files, a fake of the API
engine    the program's commands, called in this process or killed in another; what it stores
answers   every view, now and as of every past day, compared with the model
provenance  the responses each content was made from; the daily list as of each past day
duties    what a run must have done: nothing forgotten, nothing refused made current, exit codes
stories   steps at random, by seed; a failing story made smaller
player    carries out the steps and compares after each

Nothing here imports a decision of the program: it runs its commands and reads its answers.
"""
