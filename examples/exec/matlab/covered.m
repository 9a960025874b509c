function covered
% A mask of what is brighter than half of the range of an image, and the share of the image that it covers. No toolbox is needed.
% Names come by variables and as JSON, never in the text of a command: a quote in a name would end it.
if ~strcmp(getenv('RC_MODE'), 'persistent')
    try
        work(getenv('RC_INPUT'), getenv('RC_OUTPUT'));
    catch e
        fprintf(2, '%s\n', one_line(e)); % the last line of the error stream is the reason
        exit(status_of(e));
    end
    return
end

% Kept: a job per line of standard input, until it ends.
jobs = fopen('/dev/stdin', 'r');
fprintf('::ready\n');
line = next_line(jobs);
while ~isempty(line)
    job = jsondecode(line);
    try
        work(job.inputs(1).path, job.output);
        fprintf('::done %s\n', job.id);
    catch e
        if status_of(e) == 65
            class = 'invalid_input';
        else
            class = 'internal';
        end
        fprintf('::fail %s %s %s\n', job.id, class, one_line(e));
    end
    line = next_line(jobs);
end
end

function line = next_line(file)
% Byte by byte: Octave's fgetl waits for the byte after the line, which comes with the next job only.
line = '';
byte = fread(file, 1, 'uint8=>char');
while ~isempty(byte) && byte ~= char(10)
    line(end + 1) = byte; %#ok<AGROW>
    byte = fread(file, 1, 'uint8=>char');
end
end

function work(input, output)
try
    image = imread(input);
catch e
    error('covered:invalid', 'no image that can be read: %s', one_line(e));
end
gray = mean(double(image(:, :, 1:min(3, size(image, 3)))), 3);
if min(gray(:)) == max(gray(:))
    error('covered:invalid', 'the image is all of one brightness');
end
mask = gray > (min(gray(:)) + max(gray(:))) / 2;
imwrite(uint8(255 * mask), fullfile(output, 'mask.png'));
table = fopen(fullfile(output, 'covered.csv'), 'w');
fprintf(table, 'covered\n%g\n', 100 * mean(mask(:)));
fclose(table);
end

function status = status_of(e)
% 65: the data is wrong, and the job fails as invalid_input. Anything else is a fault of this script.
if strcmp(e.identifier, 'covered:invalid')
    status = 65;
else
    status = 1;
end
end

function text = one_line(e)
text = regexprep(e.message, '\s+', ' ');
end
