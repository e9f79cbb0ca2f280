# Where BibTeX finds references.bib, whatever the output folder is.
use Cwd qw(abs_path);
ensure_path('BIBINPUTS', abs_path('../book'));
$pdf_mode = 1;
$pdflatex = 'pdflatex -interaction=nonstopmode -halt-on-error %O %S';
