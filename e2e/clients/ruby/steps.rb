# What every check in this folder does: run steps and print a line for each.
EVERY_BYTE = (0..255).to_a.pack('C*')

def run(steps)
  steps.each do |name, step|
    step.call
    puts "#{name}: ok"
  rescue StandardError => e
    puts "#{name}: #{e.class}: #{e.message.lines.first&.chomp}"
  end
end

def equal(got, want)
  got, want = [got, want].map { |v| v.is_a?(String) ? v.b : v }
  raise "got #{got.inspect}, want #{want.inspect}" unless got == want
end

def contains(list, item)
  raise "#{item.inspect} is not in #{list.inspect}" unless list.include?(item)
end
