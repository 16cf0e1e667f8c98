# Reads 60,000 orders, groups them by customer, and makes a report. Strings, arrays, hashes and
# objects of many sizes come and go; ruby takes the memory of all but the short ones from malloc.
Order = Struct.new(:customer, :articles, :note, :cents)

def lines(count)
  seed = 1
  Array.new(count) do |i|
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    articles = Array.new(1 + seed % 12) { |k| "article-#{(seed >> 3) % 997 + k}" }
    note = 'note ' * (seed % 15)
    "#{i};customer number #{seed % 1_999};#{articles.join(',')};#{note};#{seed % 9_999}"
  end
end

def parse(line)
  _, customer, articles, note, cents = line.split(';')
  Order.new(customer, articles.split(','), note.gsub('note', 'remark').strip, cents.to_i)
end

orders = lines(60_000).map { |line| parse(line) }
by_customer = orders.group_by(&:customer)
counts = Hash.new(0)
orders.each { |order| order.articles.each { |article| counts[article] += 1 } }

report = by_customer.sort_by { |name, list| [-list.sum(&:cents), name] }.map do |name, list|
  favourite = list.flat_map(&:articles).tally.max_by { |article, n| [n, article] }
  "#{name.ljust(24)}#{list.sum(&:cents).to_s.rjust(9)} #{favourite.join(' x ')} " \
    "#{list.map(&:note).max_by(&:length).upcase}"
end

puts report.first(20)
puts report.join("\n").length, counts.size, report.join.scan(/x (\d+)/).sum { |(n)| n.to_i }
