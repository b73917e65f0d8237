"""The full lists of authors of the works that docstrings name with "et al.", for a bibliography.

A docstring has the short form; this table has the full list for BibTeX, under the same identifier. A work that is not
in this table, because it has very many authors or because the list was not certain, is cited with "and others", which
BibTeX understands.
"""

from __future__ import annotations

__all__ = ["AUTHORS"]

AUTHORS: dict[str, str] = {
    "JMLR 13:723-773": "Arthur Gretton, Karsten M. Borgwardt, Malte J. Rasch, Bernhard Schölkopf, Alexander Smola",
    "University of Massachusetts technical report 07-49": "Gary B. Huang, Manu Ramesh, Tamara Berg, "
    "Erik Learned-Miller",
    "arXiv:1311.3618": "Mircea Cimpoi, Subhransu Maji, Iasonas Kokkinos, Sammy Mohamed, Andrea Vedaldi",
    "arXiv:1411.7766": "Ziwei Liu, Ping Luo, Xiaogang Wang, Xiaoou Tang",
    "arXiv:1502.01852": "Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun",
    "arXiv:1506.05751": "Emily Denton, Soumith Chintala, Arthur Szlam, Rob Fergus",
    "arXiv:1512.00567": "Christian Szegedy, Vincent Vanhoucke, Sergey Ioffe, Jonathon Shlens, Zbigniew Wojna",
    "arXiv:1602.02282": "Casper Kaae Sønderby, Tapani Raiko, Lars Maaløe, Søren Kaae Sønderby, Ole Winther",
    "arXiv:1706.08500": "Martin Heusel, Hubert Ramsauer, Thomas Unterthiner, Bernhard Nessler, Sepp Hochreiter",
    "arXiv:1708.07747": "Han Xiao, Kashif Rasul, Roland Vollgraf",
    "arXiv:1709.07871": "Ethan Perez, Florian Strub, Harm de Vries, Vincent Dumoulin, Aaron Courville",
    "arXiv:1801.01401": "Mikołaj Bińkowski, Danica J. Sutherland, Michael Arbel, Arthur Gretton",
    "arXiv:1801.03924": "Richard Zhang, Phillip Isola, Alexei A. Efros, Eli Shechtman, Oliver Wang",
    "arXiv:1812.04948": "Tero Karras, Samuli Laine, Timo Aila",
    "arXiv:1903.12436": "Partha Ghosh, Mehdi S. M. Sajjadi, Antonio Vergari, Michael Black, Bernhard Schölkopf",
    "arXiv:1904.06991": "Tuomas Kynkäänniemi, Tero Karras, Samuli Laine, Jaakko Lehtinen, Timo Aila",
    "arXiv:1911.02469": "James Lucas, George Tucker, Roger Grosse, Mohammad Norouzi",
    "arXiv:2002.05709": "Ting Chen, Simon Kornblith, Mohammad Norouzi, Geoffrey Hinton",
    "arXiv:2002.09797": "Muhammad Ferjad Naeem, Seong Joon Oh, Youngjung Uh, Yunjey Choi, Jaejun Yoo",
    "arXiv:2004.05675": "Casey Meehan, Kamalika Chaudhuri, Sanjoy Dasgupta",
    "arXiv:2006.11239": "Jonathan Ho, Ajay Jain, Pieter Abbeel",
    "arXiv:2006.13202": "Oleh Rybkin, Kostas Daniilidis, Sergey Levine",
    "arXiv:2010.02502": "Jiaming Song, Chenlin Meng, Stefano Ermon",
    "arXiv:2102.08921": "Ahmed M. Alaa, Boris van Breugel, Evgeny Saveliev, Mihaela van der Schaar",
    "arXiv:2104.11222": "Gaurav Parmar, Richard Zhang, Jun-Yan Zhu",
    "arXiv:2106.15282": "Jonathan Ho, Chitwan Saharia, William Chan, David J. Fleet, Mohammad Norouzi, Tim Salimans",
    "arXiv:2206.00364": "Tero Karras, Miika Aittala, Timo Aila, Samuli Laine",
    "arXiv:2209.03003": "Xingchao Liu, Chengyue Gong, Qiang Liu",
    "arXiv:2210.02747": "Yaron Lipman, Ricky T. Q. Chen, Heli Ben-Hamu, Maximilian Nickel, Matt Le",
    "arXiv:2211.01095": "Cheng Lu, Yuhao Zhou, Fan Bao, Jianfei Chen, Chongxuan Li, Jun Zhu",
    "arXiv:2303.09556": "Tiankai Hang, Shuyang Gu, Chen Li, Jianmin Bao, Dong Chen, Han Hu, Xin Geng, Baining Guo",
    "arXiv:2307.01850": "Sina Alemohammad, Josue Casco-Rodriguez, Lorenzo Luzi, Ahmed Imtiaz Humayun, Hossein Babaei, "
    "Daniel LeJeune, Ali Siahkoohi, Richard G. Baraniuk",
    "arXiv:2310.02557": "Zahra Kadkhodaie, Florentin Guth, Eero P. Simoncelli, Stéphane Mallat",
    "doi:10.1007/s10851-014-0506-3": "Nicolas Bonneel, Julien Rabin, Gabriel Peyré, Hanspeter Pfister",
    "doi:10.1038/s41586-024-07566-y": "Ilia Shumailov, Zakhar Shumaylov, Yiren Zhao, Nicolas Papernot, Ross Anderson, "
    "Yarin Gal",
    "doi:10.1109/5.726791": "Yann LeCun, Léon Bottou, Yoshua Bengio, Patrick Haffner",
    "doi:10.1109/ICCV.2009.5459469": "Kevin Jarrett, Koray Kavukcuoglu, Marc'Aurelio Ranzato, Yann LeCun",
    "doi:10.1145/2063384.2063405": "John K. Salmon, Mark A. Moraes, Ron O. Dror, David E. Shaw",
    "doi:10.2307/2531595": "Elizabeth R. DeLong, David M. DeLong, Daniel L. Clarke-Pearson",
}
"""Identifier as in the docstring -> all authors, in the order of the work."""
