"""Every kernel that nbval starts is quiet: a progress bar's timings could never match a stored
output.
"""

import os

os.environ["TQDM_DISABLE"] = "1"
