#!/usr/bin/env Rscript
# Number and sizes of cells: takes a table with a column `area`, such as cells.csv of the example scikit-image, leaves summary.csv
# and a histogram. With a process for each job (EXEC_MODE=once) it needs nothing but R; kept warm it needs the package jsonlite,
# since jobs then come as lines of JSON.

invalid <- function(text) stop(errorCondition(text, class = "invalid"))

work <- function(path, name, output) {
  cells <- tryCatch(read.csv(path), error = function(e) invalid(paste(name, "is no table:", conditionMessage(e))))
  if (!is.numeric(cells$area)) invalid(paste(name, "has no column of numbers called area"))
  area <- cells$area
  summary <- data.frame(cells = length(area), mean = mean(area), median = median(area), sd = sd(area))
  write.csv(summary, file.path(output, "summary.csv"), row.names = FALSE)
  pdf(file.path(output, "areas.pdf"))
  hist(area, main = name, xlab = "area (pixels)")
  invisible(dev.off())
}

one_line <- function(e) gsub("[[:space:]]+", " ", conditionMessage(e))

if (Sys.getenv("RC_MODE") != "persistent") {
  path <- Sys.getenv("RC_INPUT")
  tryCatch(work(path, basename(path), Sys.getenv("RC_OUTPUT")), invalid = function(e) {
    message(one_line(e)) # the last line of the log is the reason
    quit(status = 65)    # the data is wrong: the job fails as `invalid_input`, once
  })
} else {
  library(jsonlite)
  cat("::ready\n")
  jobs <- file("stdin", open = "r") # stdin() would be the script
  while (length(line <- readLines(jobs, n = 1)) > 0) {
    job <- fromJSON(line, simplifyDataFrame = FALSE)
    input <- job$inputs[[1]]
    answer <- tryCatch({
      work(input$path, input$name, job$output)
      paste("::done", job$id)
    },
    invalid = function(e) paste("::fail", job$id, "invalid_input", one_line(e)),
    error = function(e) paste("::fail", job$id, "internal", one_line(e)))
    cat(answer, "\n", sep = "")
  }
}
