"""Tables and plots of measured results, made from their JSON and from nothing else.

    results  ->  rate_accuracy_tables(), loss_tables(), steps_table()    Markdown
             ->  draw_rate_accuracy(), draw_loss(), draw_steps()         any Matplotlib figure

Drawing takes a figure that the caller made, so nothing here needs Matplotlib.
"""
