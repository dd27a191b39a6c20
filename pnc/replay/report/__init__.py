"""Tables and plots of measured results, made from their JSON and from nothing else.

    results  ->  rate_accuracy_tables(), loss_tables(), steps_table(),     Markdown
                 faults_table(), early_stop_table()
             ->  draw_rate_accuracy(), draw_loss(), draw_steps(),          any Matplotlib figure
                 draw_faults(), draw_early_stop()

Drawing takes a figure that the caller made, so nothing here needs Matplotlib.
"""
