"""The look that all figures share."""

# Two hues that stay apart for colour-blind readers (Okabe and Ito 2008), and a grey.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREY = "#6B6B6B"

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#9A9A9A",
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "xtick.color": "#9A9A9A",
    "xtick.labelcolor": "#333333",
    "ytick.color": "#9A9A9A",
    "ytick.labelcolor": "#333333",
}
