import sys
from pathlib import Path

# The makers of small data sets are shared by the tests of layouts and of what builds on them.
sys.path.insert(0, str(Path(__file__).parent / "layouts"))
